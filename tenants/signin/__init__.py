"""How people get in: what the libraries for it (allauth, axes) ask of this platform. Nobody signs up by themselves."""
