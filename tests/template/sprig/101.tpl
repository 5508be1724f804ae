{{ sprig_b64dec "!" }}
