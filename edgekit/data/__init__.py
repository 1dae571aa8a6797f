"""The user's data in every form, read once into one ``.npy`` per input. `edgekit.data.read` is the one entry."""
