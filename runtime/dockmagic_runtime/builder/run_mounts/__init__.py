"""`RUN --mount`: options, preparation and clean-up."""
