"""`ps`: listing and filtering containers."""
