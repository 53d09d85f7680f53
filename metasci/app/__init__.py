"""The app: calibrate in the browser, on this machine. `metasci app` starts it; `docs/app.md` shows it."""
