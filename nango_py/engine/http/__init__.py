"""The one seam to the network of the sync executor; the only folder that imports requests and urllib3."""
