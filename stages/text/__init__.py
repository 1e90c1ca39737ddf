"""Text from outside as others see it: made harmless, and shown."""
