from tests.similarity.conftest import model_folder, planted

__all__ = ["model_folder", "planted"]
