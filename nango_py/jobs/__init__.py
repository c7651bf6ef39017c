"""Work that runs later or elsewhere: jobs, their schedules, and where they run."""
