"""Images of the backing services, for machines that can pull none."""
