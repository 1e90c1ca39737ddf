"""Which windows of the corpus explain a latent and which test the explanation."""
