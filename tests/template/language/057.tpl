{{ eq (sprig_list 1) (sprig_list 1) }}
