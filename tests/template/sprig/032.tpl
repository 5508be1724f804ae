{{ sprig_until 3 }} {{ sprig_untilStep 0 10 3 }} {{ sprig_untilStep 10 0 -3 }} {{ printf "%T" (sprig_until 2) }} {{ sprig_until -3 }}
