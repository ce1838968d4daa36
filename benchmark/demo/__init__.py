"""`bench demo`: a page on which people give a radiograph to the models trained here and watch them write."""
