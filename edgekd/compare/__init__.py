"""Two runs beside each other, or two bundles: what changed, what that is worth as evidence, what got worse."""
