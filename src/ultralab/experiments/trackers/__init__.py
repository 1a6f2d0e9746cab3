"""Where else a run is recorded, besides its capsule: one module each, behind one small seam."""
