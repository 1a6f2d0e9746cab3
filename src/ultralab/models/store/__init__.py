"""Where the bytes are: volumes, blobs by hash, what is known of them without reading them again."""
