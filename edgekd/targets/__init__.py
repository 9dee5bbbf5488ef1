"""Where a figure is taken: this host, or a prediction for a device that isn't here."""
