"""The shipped targets: how each puts a link in place, reads it back and takes it away. Below the operators."""
