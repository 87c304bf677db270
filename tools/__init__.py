"""Small programs for the documents: source tree, pictures, word list, site."""
