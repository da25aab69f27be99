"""What is in the shards, for people: contact sheets, and a page of everything."""
