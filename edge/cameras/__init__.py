"""What cameras say beside pictures: event streams of the makes, ONVIF, frames out of RTSP. The driver (edge/drivers/camera.py) puts them together."""
