"""What runs in a rival's own environment: its library's service around the model, no more."""
