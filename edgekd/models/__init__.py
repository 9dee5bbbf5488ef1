"""Teachers and students: their architectures, and how weights are loaded and saved."""
