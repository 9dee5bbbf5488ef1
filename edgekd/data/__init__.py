"""Where images and labels come from, what is refused, and how they are split."""
