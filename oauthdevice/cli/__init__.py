"""`oauthdevice`: sign in, and see and end what is signed in, from a terminal."""
