"""The commands for people; what dvc repro runs lies beside the pipeline's stages."""
