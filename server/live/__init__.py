"""The pure fold into room tiles and the hub that sends them."""
