"""Who has answered a call: detectors on 20 ms frames, the wording of greetings, and the machine that joins them."""
