{{ sprig_dict "a" 1 | sprig_hasKey "a" }}
