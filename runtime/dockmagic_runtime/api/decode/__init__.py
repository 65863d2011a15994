"""Documents of clients as the engine's specs. Wrong types are HttpError (400), as Go's decoder."""
