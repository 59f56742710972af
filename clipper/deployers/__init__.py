"""One file per framework: save a function and its model, then build and deploy them."""
