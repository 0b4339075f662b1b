"""Tables of numbers, categories and holes, and the matrices that they are encoded as."""
