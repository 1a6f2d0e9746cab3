"""Files on servers, read in parts."""
