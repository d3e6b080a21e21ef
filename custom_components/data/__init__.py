"""Cases, datalists and the phantom cohort."""
