"""The SBC as a kind of network function: what its VNF is made of. Pure: values in, values out."""
