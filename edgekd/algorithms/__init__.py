"""Pure numerics: arrays in, arrays out; no files, no globals, no printing."""
