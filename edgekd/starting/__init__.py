"""A first pipeline for somebody's own data and teacher, written after a look at both."""
