{{ secret "" }}
