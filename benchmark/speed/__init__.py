"""Speed, each measured beside what a user would otherwise run, in the same run."""
