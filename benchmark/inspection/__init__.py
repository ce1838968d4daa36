"""Looking at a data set before believing it: what is there, what is broken, what one study holds."""
