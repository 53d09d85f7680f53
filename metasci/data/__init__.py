"""Tables at the door: what their columns mean (`cards`) and how they are read (`tables`)."""
