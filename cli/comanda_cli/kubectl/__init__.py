"""`kubectl comanda`: what a cluster's resources, pods and Lease say, for those who run it."""
