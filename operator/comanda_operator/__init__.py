"""Resources to running bots: `plan` decides, purely; what applies a plan is the cluster's or local mode's own."""
