"""The checks that only a real card can answer: kernels of known length, the product's own harness around them, figures out."""
