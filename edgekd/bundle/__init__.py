"""What the app team gets: model files with all that is needed to use and to check them."""
