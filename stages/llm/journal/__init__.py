"""Every answer ever received, and the transcripts of stages."""
