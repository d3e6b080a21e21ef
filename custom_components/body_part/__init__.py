"""Body part regression: which slices of a CT lie where in the trunk, learnt without labels."""
