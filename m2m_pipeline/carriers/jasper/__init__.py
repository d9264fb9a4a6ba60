"""Cisco Jasper (IoT Control Center): one API, on the hosts of AT&T's pod 19, Rogers, T-Mobile and others."""
