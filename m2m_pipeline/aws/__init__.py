"""Amazon's services, and the only package that knows boto3: queues of requests and notices, a bucket for digests."""
