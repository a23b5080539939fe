"""What Barista is measured beside on one device: each module has peers of one framework, imported only when asked for."""
