"""The only package that decodes: probe, packet index, luma scan, fetch; PyAV behind it all."""
